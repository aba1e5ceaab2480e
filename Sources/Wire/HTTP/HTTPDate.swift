/// A moment as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 5.6.7, IMF-fixdate).
///
/// A plain value of 29 bytes, made once a second and copied into every reply.
public struct HTTPDate: Sendable, BitwiseCopyable {
    public static let byteCount = 29

    /// The 29 characters, and three zeros that make them four words.
    @usableFromInline var text: InlineArray<32, UInt8>

    /// The moment `epochSeconds` after 1970 began. Years from 1 to 9999 have four digits; moments
    /// outside of them are written as the first or the last of those.
    public init(epochSeconds: Int64) {
        let earliest: Int64 = -62_135_596_800
        let latest: Int64 = 253_402_300_799
        let moment = min(max(epochSeconds, earliest), latest)
        let secondsADay: Int64 = 86_400
        let second = (moment % secondsADay + secondsADay) % secondsADay
        let day = (moment - second) / secondsADay

        text = InlineArray(repeating: 0)
        let (year, month, dayOfMonth) = Self.civil(day)
        // 1970 began on a Thursday.
        place("SunMonTueWedThuFriSat", from: ((day + 4) % 7 + 7) % 7 * 3, count: 3, at: 0)
        place(", ", from: 0, count: 2, at: 3)
        place(digits: dayOfMonth, at: 5)
        place(" ", from: 0, count: 1, at: 7)
        place("JanFebMarAprMayJunJulAugSepOctNovDec", from: (month - 1) * 3, count: 3, at: 8)
        place(" ", from: 0, count: 1, at: 11)
        place(digits: year / 100, at: 12)
        place(digits: year % 100, at: 14)
        place(" ", from: 0, count: 1, at: 16)
        place(digits: second / 3600, at: 17)
        place(":", from: 0, count: 1, at: 19)
        place(digits: second / 60 % 60, at: 20)
        place(":", from: 0, count: 1, at: 22)
        place(digits: second % 60, at: 23)
        place(" GMT", from: 0, count: 4, at: 25)
    }

    /// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
    ///
    /// Counting years from March puts the leap day last, so that a month's first day is a straight
    /// line through the days of a year; 400 years are always 146,097 days.
    private static func civil(_ day: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let daysFromYearZero = day + 719_468
        let era = (daysFromYearZero >= 0 ? daysFromYearZero : daysFromYearZero - 146_096) / 146_097
        let dayOfEra = daysFromYearZero - era * 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
    }

    private mutating func place(_ source: StaticString, from: Int64, count: Int, at place: Int) {
        for index in 0..<count {
            text[place + index] = unsafe source.utf8Start[Int(from) + index]
        }
    }

    private mutating func place(digits number: Int64, at place: Int) {
        text[place] = 0x30 + UInt8(number / 10)
        text[place + 1] = 0x30 + UInt8(number % 10)
    }
}

extension ByteWriter {
    @inlinable @inline(__always)
    public mutating func write(_ date: HTTPDate) {
        let target = unsafe reserve(HTTPDate.byteCount)
        let span = date.text.span
        unsafe span.withUnsafeBytes { source in
            unsafe UnsafeMutableRawPointer(target).copyMemory(
                from: source.baseAddress!, byteCount: HTTPDate.byteCount)
        }
    }
}
