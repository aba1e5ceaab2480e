import Foundation

/// The checked-in tree as these tests see it: paths relative to the top, and lines.
struct Tree {
    /// Where Package.swift is.
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// What is built or kept by tools, and never checked in.
    private static let skipped: Set<String> = [".build", ".git", ".swiftpm", "data"]

    /// Every file below a folder, by its path from the top. A folder that is absent has none.
    static func files(below folder: String = "", endingIn ends: [String] = [""]) -> [String] {
        var found: [String] = []
        var waiting = [folder]
        while let path = waiting.popLast() {
            for name in names(in: path) where !skipped.contains(name) {
                let inner = path.isEmpty ? name : "\(path)/\(name)"
                if isFolder(inner) {
                    waiting.append(inner)
                } else if ends.contains(where: name.hasSuffix) {
                    found.append(inner)
                }
            }
        }
        return found.sorted()
    }

    static func folders(below folder: String) -> [String] {
        names(in: folder).map { "\(folder)/\($0)" }.filter(isFolder)
            .flatMap { [$0] + folders(below: $0) }
    }

    static func names(in folder: String) -> [String] {
        let path = root.appendingPathComponent(folder).path
        return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }

    static func text(_ path: String) -> String {
        let data = (try? Data(contentsOf: root.appendingPathComponent(path))) ?? Data()
        return String(decoding: data, as: UTF8.self)
    }

    static func lines(_ path: String) -> [Substring] {
        text(path).split(separator: "\n", omittingEmptySubsequences: false)
    }

    static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: root.appendingPathComponent(path).path)
    }

    private static func isFolder(_ path: String) -> Bool {
        var folder: ObjCBool = false
        let full = root.appendingPathComponent(path).path
        return FileManager.default.fileExists(atPath: full, isDirectory: &folder)
            && folder.boolValue
    }
}
