import JSON
import Tensors

extension SafetensorsHeader {
  /// The header of a sound file, read without JSON values in between.
  ///
  /// - Returns: nil wherever anything is wrong or unusual: reading it as a JSON value says what and where.
  static func quick(_ text: ArraySlice<UInt8>) -> (entries: [Entry], metadata: JSONObject)? {
    var scanner = JSONScanner(text)
    var entries: [Entry] = []
    var metadata = JSONObject()
    do throws(JSONError) {
      var members = try scanner.openObject()
      while let name = try scanner.nextMember(&members) {
        if name == "__metadata__" {
          guard let strings = try quickMetadata(&scanner) else { return nil }
          metadata = strings
        } else if entries.count < SafetensorsFormat.maximumNames, let entry = try quickEntry(name, &scanner) {
          entries.append(entry)
        } else {
          return nil
        }
      }
      try scanner.finish()
    } catch {
      return nil
    }
    return (entries, metadata)
  }

  private static func quickMetadata(_ scanner: inout JSONScanner) throws(JSONError) -> JSONObject? {
    var object: [JSONObject.Member] = []
    var members = try scanner.openObject()
    while let name = try scanner.nextMember(&members) {
      guard object.count < SafetensorsFormat.maximumNames else { return nil }
      object.append(.init(name: name, value: .string(try scanner.readString())))
    }
    return JSONObject(distinctMembers: object)
  }

  private static func quickEntry(_ name: String, _ scanner: inout JSONScanner) throws(JSONError) -> Entry? {
    var elementType: ElementType?
    var dimensions: [Int]?
    var offsets: (begin: Int, end: Int)?
    var members = try scanner.openObject()
    while let member = try scanner.nextMember(&members) {
      switch member {
      case "dtype": elementType = ElementType(rawValue: try scanner.readString())
      case "shape":
        var extents: [Int] = []
        extents.reserveCapacity(4)
        var index = 0
        try scanner.openArray()
        while try scanner.nextElement(&index) {
          guard extents.count < Shape.maximumRank, let extent = scanner.readPlainIndex() else { return nil }
          extents.append(extent)
        }
        dimensions = extents
      case "data_offsets":
        var index = 0
        try scanner.openArray()
        guard try scanner.nextElement(&index), let begin = scanner.readPlainIndex(),
          try scanner.nextElement(&index), let end = scanner.readPlainIndex(),
          try !scanner.nextElement(&index)
        else { return nil }
        offsets = (begin, end)
      default: return nil
      }
    }
    guard let elementType, let dimensions, let offsets, let shape = try? Shape(dimensions),
      offsets.begin <= offsets.end
    else { return nil }
    let (size, overflow) = shape.elementCount.multipliedReportingOverflow(by: elementType.byteWidth)
    guard !overflow, size == offsets.end - offsets.begin else { return nil }
    return Entry(name: name, elementType: elementType, shape: shape, begin: offsets.begin, end: offsets.end)
  }
}
