import CLinux
import LibC

/// What the system knows of the other end of a connection.
enum PeerState {
  /// Whether the peer is done with sending and nothing that it sent is left to read.
  static func hasEnded(_ descriptor: Int32) -> Bool {
    var byte: UInt8 = 0
    return recv(descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) == 0
  }

  /// Whether nobody is left to read an answer, although the connection ended like one whose client only finished
  /// sending; false where that cannot be told.
  static func isGone(_ descriptor: Int32) -> Bool {
    crop_peer_is_gone(descriptor) == 1
  }
}
