import JSON

/// Members that many answers have in common, with their text, which is made once.
final class PreparedMembers: Sendable {
  let object: JSONObject
  let text: [UInt8]

  init(_ object: JSONObject) {
    self.object = object
    text = object.compactMembers
  }

  convenience init(_ members: [JSONObject.Member]) { self.init(JSONObject(distinctMembers: members)) }
}
