/// A file as it is read from front to back: a piece of it in memory at a time.
///
/// The piece is as large as what is asked for at once, which is never more than the file has: a
/// length that a damaged file states can't make anybody allocate more than there is to read.
@safe
struct Window: ~Copyable {
    private let disk: any Disk
    private let file: DiskFile
    let size: Int
    private var buffer: UnsafeMutableRawPointer
    private var capacity = Window.bytes
    private var start = 0
    private var count = 0

    static let bytes = 1 << 20

    static func open(_ disk: any Disk, _ path: String) throws(JournalFailure) -> Window {
        do throws(DiskFailure) {
            let file = try disk.open(path, forWriting: false)
            do throws(DiskFailure) { return Window(disk, file, size: try disk.size(file)) } catch {
                disk.close(file)
                throw error
            }
        } catch { throw .disk(error) }
    }

    private init(_ disk: any Disk, _ file: DiskFile, size: Int) {
        self.disk = disk
        self.file = file
        self.size = size
        unsafe buffer = .allocate(byteCount: Window.bytes, alignment: 16)
    }

    deinit {
        unsafe buffer.deallocate()
        disk.close(file)
    }

    /// The bytes at an offset, good until the next call; nil where the file ends before.
    @inline(__always)
    mutating func bytes(
        _ offset: Int, _ wanted: Int
    ) throws(JournalFailure) -> UnsafeRawPointer? {
        if offset < start || offset + wanted > start + count {
            guard wanted <= size - offset, try fill(offset, wanted) else { return nil }
        }
        return unsafe UnsafeRawPointer(buffer) + (offset - start)
    }

    /// How many of the bytes from an offset on are in memory already.
    func held(_ offset: Int) -> Int {
        offset >= start && offset < start + count ? start + count - offset : 0
    }

    @inline(never)
    private mutating func fill(_ offset: Int, _ wanted: Int) throws(JournalFailure) -> Bool {
        if wanted > capacity {
            unsafe buffer.deallocate()
            capacity = wanted
            unsafe buffer = .allocate(byteCount: capacity, alignment: 16)
        } else if capacity > Window.bytes, wanted <= Window.bytes {
            unsafe buffer.deallocate()
            capacity = Window.bytes
            unsafe buffer = .allocate(byteCount: capacity, alignment: 16)
        }
        start = offset
        count = 0
        let room = unsafe UnsafeMutableRawBufferPointer(
            start: buffer, count: min(capacity, size - offset))
        do throws(DiskFailure) { count = unsafe try disk.read(file, at: offset, into: room) } catch
        {
            throw .disk(error)
        }
        return count >= wanted
    }
}
