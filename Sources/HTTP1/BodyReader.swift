/// What a responder makes of a body while it arrives, so that less is left to do when it is whole.
///
/// Belongs to one request and to the event loop that receives it.
public protocol BodyReader: AnyObject {
  /// - Parameter body: all that has arrived so far: what it was the last time, and more.
  func read(_ body: [UInt8])
}
