import Machine
import Wire

/// What a shard was told at start: plain numbers, copied into each shard so that the hot path
/// reads its own memory only.
@safe struct ShardSettings {
    var limits = HTTPLimits()
    var idleTimeoutMs: UInt64 = 75_000
    /// How long a quiet stream, or WebSocket, is left alone.
    var heartbeatMs: UInt64 = 15_000
    var headerTimeoutMs: UInt64 = 10_000
    var bodyTimeoutMs: UInt64 = 30_000
    var turnRequestsMax: Int32 = 64
    var turnBytesMax: Int32 = 64 * 1024
    var bodyBudgetBytes = 64 << 20
    var connectionsMax = 1024
    /// Refused connections that are being told so at a time, by one shard; past it they are just
    /// closed.
    var refusalsMax = ShardSettings.refusalsOfNodeMax
    var testRoutes = false
    /// Requests of one connection under way on other shards.
    var pipelineDepthMax: UInt32 = 1024
    var valueBytesMax = 8 << 20
    /// What one stream may hold unsent.
    var streamBufferBytes = 256 * 1024
    var corsOrigin = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    var allowsAnyOrigin = true
    /// Whether only this machine can reach the listeners.
    var listenerIsLoopback = false
    var respListenerIsLoopback = false
    /// There is an `ADMIN_PASSWORD`.
    var hasAdmin = false
    var memoryBytesMax = 0
    var evicts = false

    /// A connection that used up its share of a turn gets this part of one in the next.
    static let greedyPart: Int32 = 4
    /// What JSON around the largest value may add to a body.
    static let bodyBytesBeyondValue = 64 * 1024
    /// A peer that takes none of a whole block for this long is gone or hostile.
    static let sendStallMs: UInt64 = 30_000
    /// How long a stream's request waits for the node to have loaded.
    static let loadingWaitMs: UInt64 = 600_000
    /// How long a peer may take to read our last words and close (RFC 9112 9.6).
    static let lingerMs: UInt64 = 2_000
    /// What we read and throw away meanwhile.
    static let lingerBytesMax: UInt32 = 1 << 20
    /// A body that brings less than this over a span of `bodyTimeoutMs` is a slow-loris.
    static let bodyBytesPerSecondMin = 1024
    /// A refused connection's request is answered if it comes within this time.
    static let refusedMs: UInt64 = 1_000
    /// The same by all shards together: descriptors are set aside for so many.
    static let refusalsOfNodeMax = 128
    /// Unread input past which a peer's bytes are left in the kernel.
    static let inputPauseBytes = 32 * 1024
    /// Unread input lies in at most this part of the pool.
    static let inputShare = 4
    /// Unread input of one shard beyond what lies in the pool. Past it a connection that sends
    /// faster than it can be served is closed.
    static let ownInputBytesMax = 64 << 20
    /// Replies queued for one connection before its next request waits: 256 KiB.
    static let outputBlocksMax: UInt32 = 16
    /// Replies of one connection that wait for their turn; one more than this may come on top.
    static let asideBytesMax: UInt32 = 256 * 1024
    /// How far a streamed answer is produced ahead of its reader: 64 KiB.
    static let streamBlocksMax: UInt32 = 4
    /// All output and split input of a shard.
    static let blockPoolBytes = 64 << 20
    /// The least room for a reply: every head and short body fits, so a reply needs one question.
    static let replyRoomBytes = 2048
    /// More than this is sent without waiting for answers from other shards.
    static let corkedBytesMax: UInt32 = 8 * 1024
    /// Less waits for so long, and for the turn that is then under way.
    static let corkedMs: UInt64 = 1
}
