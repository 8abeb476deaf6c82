"""One room on many workers: edges pull each layer that their viewers need once, and fan it out.

`contract` is what two workers say to each other over the control API, `wire` what goes beside media. `feed` is the side
that gives, `pull` the side that takes; a pull has `links`, one at a time but when it goes from one parent to the next.
`upstream` keeps the pulls of a worker going.
"""
