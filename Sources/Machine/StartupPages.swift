import CMachine

/// The pages of code that were needed once: by the start of the process, the first login, a snapshot.
public enum StartupPages {
    /// Gives them back. Starting runs a lot of code once (options, log lines, name resolution) in a
    /// large executable; on a small machine those pages are better somebody else's. With each page that
    /// is needed the kernel maps the fifteen around it, so after a while nearly all are there.
    ///
    /// What is needed again is mapped again, for some microseconds a page.
    public static func forget() { machine_forget_startup_pages() }
}
