"""The local stack: everything that a live room needs, on one machine, under one supervisor.

`python3 -m shared.stack up` is the first command that a newcomer runs, with whatever Python the machine has. So this
package and the modules that run before the virtual environment exists (`__main__`, `paths`, `errors`, `progress`,
`commands`, `prerequisites`, `debian`, `bootstrap`, `node`, `client`) import nothing but the standard library.
"""
