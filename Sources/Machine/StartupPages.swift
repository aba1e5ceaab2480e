import CMachine

/// The pages that only the start of the process needed.
public enum StartupPages {
    /// Gives them back. Starting runs a lot of code once (options, log lines, name resolution) in a
    /// large executable; on a small machine those pages are better somebody else's.
    public static func forget() { machine_forget_startup_pages() }
}
