import JSON
import Parameters
import PruningNumerics

/// The methods a request may name; built once, never changed.
public struct MethodRegistry: Sendable {
  /// To add a method: its file in `Methods/`, and its line here.
  public static let standard = MethodRegistry([
    Crop.self,
    Auto.self,
    FastV.self,
    FasterVLM.self,
    DivPrune.self,
    CDPruner.self,
    VisPruner.self,
    VisionZip.self,
    PruMerge.self,
    PruMergePlus.self,
    ToMe.self,
    Dart.self,
    Hired.self,
    Trim.self,
    EVS.self,
    SparseVLM.self,
    SparseVLMPlus.self,
    PyramidDrop.self,
    SCOPE.self,
    HoloV.self,
    VidCom2.self,
    PruneSID.self,
    MMTok.self,
    ApET.self,
    IVCPrune.self,
    VScan.self,
    PixelPrune.self,
    TopK.self,
    Uniform.self,
    RandomChoice.self,
    Pool.self,
    Downsample.self,
  ])

  private let methods: [any PruningMethod.Type]
  /// In the same order.
  public let descriptors: [MethodDescriptor]

  /// - Precondition: no two methods share a name.
  init(_ methods: [any PruningMethod.Type]) {
    self.methods = methods
    descriptors = methods.map { $0.descriptor }
    precondition(Set(descriptors.map(\.name)).count == methods.count, "two methods share a name")
  }

  /// The tensors that some method reads, by name.
  var inputNames: [String] {
    Set(descriptors.flatMap { $0.requiredInputs + $0.alternativeInputs + $0.optionalInputs }).sorted()
  }

  /// The descriptor of that name; nil where there is none.
  public func descriptor(named name: String) -> MethodDescriptor? { descriptors.first { $0.name == name } }

  /// What is said of a name that no method has, with the nearest one.
  public func unknown(_ name: String) -> String {
    "there is no method '\(name.excerpt)'; \(nameSuggestion(for: name, among: descriptors.map(\.name)))"
  }

  /// The method of that name with its parameters checked.
  ///
  /// - Throws: `.unknownMethod` at `/method`, or what ``Parameters`` rejects.
  func make(
    _ name: String, _ parameters: JSONObject = [:], for use: MethodUse = .prune
  ) throws(PruningError) -> any PruningMethod {
    let type = try type(named: name)
    return try type.init(Parameters(parameters, for: type.descriptor, use: use))
  }

  /// - Throws: `.unknownMethod` at `/method`, with the nearest name.
  func type(named name: String) throws(PruningError) -> any PruningMethod.Type {
    if let place = descriptors.firstIndex(where: { $0.name == name }) { return methods[place] }
    throw PruningError(.unknownMethod, at: "/method", unknown(name))
  }
}
