"""What the way to one viewer carries, from transport-wide feedback, in the manner of Google congestion control.

Everything here is pure: no clock, no I/O. It is the reference of native/congestion.c, which does the same sums in the
same order, and stands in for it where there is no compiler. The sources are draft-ietf-rmcat-gcc-02 for the design and
its parameters; Carlucci et al., "Congestion Control for Web Real-Time Communication" (IEEE/ACM Transactions on
Networking, 2017), for the adaptive threshold; and what libwebrtc does today where it has left the draft behind: a
trendline in place of the Kalman filter, additive increase near a known capacity, and probes. Times are milliseconds
unless a name says otherwise, bit rates bit/s.
"""
