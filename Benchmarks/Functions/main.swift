// Each function of Functions.swift does one small thing of the hot path so many times. `run` has
// callgrind count only what is inside them, the second time each is called: so a count is of that
// thing in steady state and of nothing else. Without callgrind the program only shows that every
// one of them still works.
//
// The calls stand one by one: callgrind has to see each function entered and left by its own name.

countShortHead()
countShortHead()
countBrowserHead()
countBrowserHead()
countReplyHead()
countReplyHead()
countJSON()
countJSON()
countRESPSet()
countRESPSet()
countRESPBulk()
countRESPBulk()
countWebSocketHead()
countWebSocketHead()
countMask()
countMask()
countGet()
countGet()
countMiss()
countMiss()
countOverwrite()
countOverwrite()
countList()
countList()
countAppend()
countAppend()
print("every function did its thing, twice")
