/// How one type of value is written: the same in a flag, a variable and a file.
struct ValueGrammar<Value: Sendable>: Sendable {
  let valueName: String
  let expected: String
  let parse: @Sendable (String) -> Value?
  let render: @Sendable (Value) -> String
}

extension ValueGrammar<Int> {
  static func integer(_ range: ClosedRange<Int>) -> Self {
    Self(
      valueName: "number", expected: "a whole number from \(range.lowerBound) to \(range.upperBound)",
      parse: { text in wholeNumber(text[...]).flatMap { range.contains($0) ? $0 : nil } },
      render: { String($0) })
  }

  /// A size in bytes: `67108864`, or a whole number of KiB, MiB or GiB.
  ///
  /// KB and MB are rejected, because half of their users mean 1000 and the other half 1024.
  static func bytes(_ range: ClosedRange<Int>) -> Self {
    Self(
      valueName: "bytes",
      expected: "a size from \(sizeText(range.lowerBound)) to \(sizeText(range.upperBound)), "
        + "such as 67108864 or 64MiB",
      parse: { text in byteCount(text).flatMap { range.contains($0) ? $0 : nil } },
      render: sizeText)
  }
}

extension ValueGrammar<Duration> {
  /// A time span: `5` (seconds), `5s`, `500ms`, `2m`, `1h`.
  static func duration(_ range: ClosedRange<Duration>) -> Self {
    Self(
      valueName: "duration",
      expected: "a duration from \(durationText(range.lowerBound)) to \(durationText(range.upperBound)), "
        + "such as 5, 5s, 500ms or 2m",
      parse: { text in timeSpan(text).flatMap { range.contains($0) ? $0 : nil } },
      render: durationText)
  }
}

extension ValueGrammar<Bool> {
  static var toggle: Self {
    Self(
      valueName: "on|off", expected: "on or off",
      parse: { text in
        switch text {
        case "on", "true": true
        case "off", "false": false
        default: nil
        }
      },
      render: { $0 ? "on" : "off" })
  }
}

extension ValueGrammar<String> {
  /// An IPv4 or IPv6 address, or a host name; whether it exists is for the system to say.
  static var host: Self {
    Self(
      valueName: "host", expected: "an IP address or a host name, such as 127.0.0.1, :: or localhost",
      parse: { text in
        let isPlausible = text.utf8.allSatisfy { byte in
          switch byte {
          case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "."), UInt8(ascii: ":"),
            UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "%"):
            true
          default: false
          }
        }
        return isPlausible && !text.isEmpty && text.utf8.count <= 255 ? text : nil
      },
      render: { $0 })
  }
}

extension ValueGrammar<String?> {
  /// A text, or `none`.
  static func optional(
    _ valueName: String, expected: String, isValid: @escaping @Sendable (String) -> Bool
  ) -> Self {
    Self(
      valueName: valueName, expected: "\(expected), or none",
      parse: { text in
        if text == "none" { return .some(nil) }
        guard isValid(text) else { return nil }
        return text
      },
      render: { $0 ?? "none" })
  }
}

extension ValueGrammar where Value: RawRepresentable<String> & CaseIterable {
  static func choice() -> Self {
    let names = Value.allCases.map(\.rawValue)
    return Self(
      valueName: names.joined(separator: "|"), expected: "one of \(names.joined(separator: ", "))",
      parse: { Value(rawValue: $0) }, render: { $0.rawValue })
  }
}

// MARK: Texts and numbers

/// Digits only: no sign, no space, no separator, and nil on overflow.
private func wholeNumber(_ text: Substring) -> Int? {
  guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") })
  else { return nil }
  return Int(text)
}

/// Splits `64MiB` into 64 and `MiB`.
private func numberAndUnit(_ text: String) -> (number: Int, unit: Substring)? {
  let digits = text.prefix { $0.isASCII && $0.isWholeNumber }
  return wholeNumber(digits).map { ($0, text[digits.endIndex...]) }
}

private func byteCount(_ text: String) -> Int? {
  guard let (number, unit) = numberAndUnit(text) else { return nil }
  let shift: Int
  switch unit {
  case "", "B": shift = 0
  case "KiB": shift = 10
  case "MiB": shift = 20
  case "GiB": shift = 30
  default: return nil
  }
  let (count, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
  return overflow ? nil : count
}

private func timeSpan(_ text: String) -> Duration? {
  // A million hours bounds every factor below far away from overflow.
  guard let (number, unit) = numberAndUnit(text), number <= 3_600_000_000 else { return nil }
  switch unit {
  case "ms": return .milliseconds(number)
  case "", "s": return .seconds(number)
  case "m": return .seconds(number * 60)
  case "h": return .seconds(number * 3600)
  default: return nil
  }
}

/// The largest unit that divides the size: `64MiB`, `1000B` stays `1000`.
private func sizeText(_ bytes: Int) -> String {
  for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")]
  where bytes > 0 && bytes & ((1 << shift) - 1) == 0 {
    return "\(bytes >> shift)\(unit)"
  }
  return String(bytes)
}

/// Whole seconds as `65s`, anything finer as milliseconds.
private func durationText(_ duration: Duration) -> String {
  let (seconds, attoseconds) = duration.components
  return attoseconds == 0
    ? "\(seconds)s" : "\(seconds * 1000 + attoseconds / 1_000_000_000_000_000)ms"
}

/// The text without the spaces around it.
func trimmed(_ text: Substring) -> String {
  String(text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
}
