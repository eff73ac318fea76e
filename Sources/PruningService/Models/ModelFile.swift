import JSON
public import LearnedNetworks
import TensorFormats
import TokenPruning

/// A file of weights: safetensors whose `__metadata__` says in `crop.config` what network they belong to.
public enum ModelFile {
  /// The largest file that is read: a resampler of width 2,048 between features of 8,192 takes 200 MB.
  public static let maximumByteCount = 512 << 20
  public static let fileEnding = ".safetensors"
  static let configurationKey = "crop.config"
  /// The configuration is read for every listing, so it stays small.
  private static let maximumConfigurationBytes = 64 << 10

  /// - Throws: whatever is wrong with the file, and where; no bytes make it trap.
  public static func model(in bytes: [UInt8]) throws(ModelError) -> LearnedModel {
    guard bytes.count <= maximumByteCount else {
      throw ModelError("is larger than \(maximumByteCount) bytes")
    }
    let file: SafetensorsFile
    do throws(TensorFormatError) {
      file = try SafetensorsFile(bytes[...])
    } catch {
      throw ModelError("is not safetensors: \(error)")
    }
    return try LearnedModel(configuration: try configuration(of: file), tensors: file.tensors)
  }

  private static func configuration(of file: SafetensorsFile) throws(ModelError) -> JSONObject {
    guard let text = file.metadata[configurationKey] else {
      throw ModelError(at: "__metadata__", "has no '\(configurationKey)'; these are not weights for crop")
    }
    guard text.utf8.count <= maximumConfigurationBytes else {
      throw ModelError(at: configurationKey, "is longer than \(maximumConfigurationBytes) bytes")
    }
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue.parse(Array(text.utf8)[...])
    } catch {
      throw ModelError(at: configurationKey, "is not JSON: \(error.message)")
    }
    guard let object = value.objectValue else {
      throw ModelError(at: configurationKey, "must be a JSON object, not \(value.kindWithArticle)")
    }
    return object
  }

  /// The name of the model in a file, or nil when the file's name is none: letters, digits, `-`, `_` and `.`, at most
  /// 64, and the ending.
  public static func modelName(ofFile name: String) -> String? {
    guard name.hasSuffix(fileEnding) else { return nil }
    let stem = name.dropLast(fileEnding.count)
    return isPlainName(stem.utf8) ? String(stem) : nil
  }
}
