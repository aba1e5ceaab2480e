import CMachine

/// What the process says of itself when it dies by its own fault.
///
/// A report of one write on fd 2: the signal, the address, the thread, the version and build id,
/// and return addresses as offsets, to be decoded where the unstripped binary lies. The process
/// then ends by the same signal, so a supervisor sees the truth.
public enum CrashReport {
    /// Call it first thing on the main thread. Threads of `Thread` join by themselves.
    public static func install(program: String, version: String) {
        unsafe program.withCString { program in
            unsafe version.withCString { version in unsafe crash_install(program, version) }
        }
        crash_disable_cores()
    }
}
