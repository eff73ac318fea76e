/// Error messages of the modules below say what is wrong with the member they point at: "must be a number". Here they
/// become sentences that name it.
enum ProblemSentence {
  /// First words that lack their subject.
  private static let verbs: Set<Substring> = [
    "must", "is", "are", "has", "have", "only", "makes", "describes", "holds", "gives", "leaves", "names",
    "cannot", "needs", "takes", "covers", "says", "asks", "may", "would", "lacks", "belongs", "speaks",
    "reaches", "means",
  ]

  /// First words that begin a remark about the subject.
  private static let remarks: Set<Substring> = ["shape", "element", "expected", "ids"]

  /// The message with its subject in front where it lacks one.
  static func whole(_ message: String, about pointer: String?) -> String {
    guard let pointer, !pointer.isEmpty else { return message }
    // "image 2: must be ...", of one image of a batch.
    if message.hasPrefix("image "), let colon = message.firstIndex(of: ":"),
      message[colon...].hasPrefix(": "), message.distance(from: message.startIndex, to: colon) < 16
    {
      let rest = message[message.index(colon, offsetBy: 2)...]
      return message[...colon] + " " + whole(String(rest), about: pointer)
    }
    let first = message.prefix { $0 != " " }
    if verbs.contains(first) { return subject(pointer) + " " + message }
    if remarks.contains(first) { return subject(pointer) + ": " + message }
    return message
  }

  /// The whole message on one line, the place in front unless its first words name it.
  static func line(_ message: String, about pointer: String?) -> String {
    guard let pointer, !pointer.isEmpty, !message.hasPrefix(subject(pointer)) else { return message }
    return "\(pointer): \(message)"
  }

  /// `layout[1].rows` for `/layout/1/rows`, `image_features[2]` for `image_features/2`.
  private static func subject(_ pointer: String) -> String {
    var subject = ""
    for token in pointer.split(separator: "/") {
      let name = token.replacing("~1", with: "/").replacing("~0", with: "~")
      if !subject.isEmpty, name.allSatisfy({ $0.isASCII && $0.isNumber }) {
        subject += "[\(name)]"
      } else {
        subject += (subject.isEmpty ? "" : ".") + name
      }
    }
    return subject
  }
}
