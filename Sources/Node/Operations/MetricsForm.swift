import Wire

/// The form in which a client wants `/metrics`, from its `Accept` field (RFC 9110 12.5.1).
///
/// The most specific range that covers a form gives its weight, the heaviest form wins, and JSON
/// where they weigh the same. A client that accepts none of the three is given JSON all the same:
/// more use to it than a 406.
enum MetricsForm: Equatable {
    case json
    case prometheus
    case openMetrics

    var contentType: StaticString {
        switch self {
        case .json: "application/json"
        case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }

    init(accept: [UInt8]?) {
        var weights = Weights()
        for range in (accept ?? []).split(separator: UInt8(ascii: ",")) { weights.hear(range) }
        self = .json
        var heaviest = weights.json.thousandths
        // Who names both text forms without preferring one can read the richer.
        if weights.openMetrics.thousandths > heaviest {
            self = .openMetrics
            heaviest = weights.openMetrics.thousandths
        }
        if weights.prometheus.thousandths > heaviest { self = .prometheus }
    }

    private struct Weight {
        /// 0 by `*/*`, 1 by `text/*`, 2 by name.
        var specificity = -1
        var thousandths = 0

        mutating func hear(_ thousandths: Int, specificity: Int) {
            // A type that stands there twice, with other parameters, has its best weight.
            if specificity > self.specificity {
                self.specificity = specificity
                self.thousandths = thousandths
            } else if specificity == self.specificity {
                self.thousandths = max(self.thousandths, thousandths)
            }
        }
    }

    private struct Weights {
        var json = Weight()
        var prometheus = Weight()
        var openMetrics = Weight()

        mutating func hear(_ range: ArraySlice<UInt8>) {
            let parts = range.split(separator: UInt8(ascii: ";"))
            guard let first = parts.first else { return }
            var weight = 1000
            for part in parts.dropFirst() {
                if let given = MetricsForm.weight(Array(MetricsForm.trimmed(part))) {
                    weight = given
                }
            }
            let type = MetricsForm.trimmed(first)
            let name = unsafe type.span.bytes
            if name.equals("*/*") {
                json.hear(weight, specificity: 0)
                prometheus.hear(weight, specificity: 0)
                openMetrics.hear(weight, specificity: 0)
            } else if name.equalsIgnoringCase("text/*") {
                prometheus.hear(weight, specificity: 1)
            } else if name.equalsIgnoringCase("application/*") {
                json.hear(weight, specificity: 1)
                openMetrics.hear(weight, specificity: 1)
            } else if name.equalsIgnoringCase("application/json") {
                json.hear(weight, specificity: 2)
            } else if name.equalsIgnoringCase("text/plain") {
                prometheus.hear(weight, specificity: 2)
            } else if name.equalsIgnoringCase("application/openmetrics-text") {
                openMetrics.hear(weight, specificity: 2)
            }
        }
    }

    private static func trimmed(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var text = text
        while let first = text.first, first == 0x20 || first == 0x09 { text = text.dropFirst() }
        while let last = text.last, last == 0x20 || last == 0x09 { text = text.dropLast() }
        return text
    }

    /// `q=0.5` in thousandths; nil for any other parameter, and for a weight that is none.
    private static func weight(_ parameter: [UInt8]) -> Int? {
        guard (3...7).contains(parameter.count), parameter[0] | 0x20 == UInt8(ascii: "q"),
            parameter[1] == UInt8(ascii: "="), parameter[2] &- 0x30 < 2
        else { return nil }
        if parameter.count > 3, parameter[3] != UInt8(ascii: ".") { return nil }
        var value = Int(parameter[2] &- 0x30) * 1000
        var place = 100
        for digit in parameter.dropFirst(4) {
            guard digit &- 0x30 < 10 else { return nil }
            value += Int(digit &- 0x30) * place
            place /= 10
        }
        return min(value, 1000)
    }
}
