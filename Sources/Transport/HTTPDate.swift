/// IMF-fixdate (RFC 9110 section 5.6.7), without Foundation or the C locale.
enum HTTPDate {
  /// `Sun, 06 Nov 1994 08:49:37 GMT` for seconds since 1970-01-01 UTC.
  static func format(_ seconds: Int) -> String {
    let days = seconds / 86_400
    let time = seconds % 86_400
    let (year, month, day) = civil(days)
    let weekday = weekdays[(days + 4) % 7]  // 1970-01-01 was a Thursday
    return "\(weekday), \(two(day)) \(months[month - 1]) \(year) "
      + "\(two(time / 3600)):\(two(time / 60 % 60)):\(two(time % 60)) GMT"
  }

  private static let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
  private static let months = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
  ]

  private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }

  /// Proleptic Gregorian date of a day number, by counting in 400-year eras that start on 1 March.
  private static func civil(_ daysSince1970: Int) -> (year: Int, month: Int, day: Int) {
    let days = daysSince1970 + 719_468
    let era = days / 146_097
    let dayOfEra = days % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shifted + 2) / 5 + 1
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
  }
}
