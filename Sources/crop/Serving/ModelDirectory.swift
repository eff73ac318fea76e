import FoundationEssentials
import LearnedNetworks
import LibC
import PruningService
import TokenPruning

/// The folder that the setting `models` names: every `NAME.safetensors` in it is a model of that name.
struct ModelDirectory: Sendable {
  let path: String

  /// A folder of more is most likely the wrong one.
  static let maximumModelCount = 64

  /// All models of the folder.
  ///
  /// Other files, hidden ones and folders are left alone.
  /// - Throws: when one file is not a model: then none is loaded.
  func load() throws(ConfigurationError) -> ModelSet {
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFDIR {
      throw ConfigurationError("models \(path): is a file; give the folder that holds it")
    }
    let names: [String]
    do {
      names = try FileManager.default.contentsOfDirectory(atPath: path)
    } catch {
      throw ConfigurationError("models \(path): cannot be read (\(fileFailure(error)))")
    }
    var models: [String: LearnedModel] = [:]
    for name in names.sorted() where !name.hasPrefix(".") && name.hasSuffix(ModelFile.fileEnding) {
      guard models.count < Self.maximumModelCount else {
        throw ConfigurationError("models \(path): holds more than \(Self.maximumModelCount) models")
      }
      guard let modelName = ModelFile.modelName(ofFile: name) else {
        throw ConfigurationError(
          "models \(path)/\(name): a model's name is 1 to 64 letters, digits, '-', '_' and '.'")
      }
      models[modelName] = try Self.model(in: "\(path)/\(name)")
    }
    return ModelSet(models)
  }

  private static func model(in file: String) throws(ConfigurationError) -> LearnedModel {
    var status = stat()
    guard stat(file, &status) == 0 else {
      throw ConfigurationError("models \(file): cannot be read (\(String(cString: strerror(errno))))")
    }
    // Reading a pipe would wait for its writer.
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw ConfigurationError("models \(file): is not a regular file")
    }
    guard status.st_size <= ModelFile.maximumByteCount else {
      throw ConfigurationError("models \(file): is larger than \(ModelFile.maximumByteCount) bytes")
    }
    let bytes: [UInt8]
    do throws(FileFailure) {
      bytes = try readFile(file)
    } catch {
      throw ConfigurationError("models \(file): cannot be read (\(error))")
    }
    do throws(ModelError) {
      return try ModelFile.model(in: bytes)
    } catch {
      throw ConfigurationError("models \(file): \(error)")
    }
  }

  /// Its entry in what SIGHUP does: all of the folder is in force afterwards, or what was before.
  func reloading(_ store: ModelStore) -> Reloadable {
    Reloadable(name: "models") {
      let set = try load()
      store.replace(with: set)
      return Self.text(of: set)
    }
  }

  /// `question (localizer), queries (resampler)`, for the log.
  static func text(of set: ModelSet) -> String {
    set.count == 0
      ? "none"
      : set.all.map { "\($0.name) (\($0.model.configuration.kind.rawValue))" }.joined(separator: ", ")
  }
}
