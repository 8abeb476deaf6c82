"""The packet plane on a thread of its own, in C: `build` compiles it where there is a compiler, `plane` drives it."""
