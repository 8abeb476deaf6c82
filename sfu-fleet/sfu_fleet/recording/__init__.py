"""Recording of streams into Matroska files, out of the packets that are forwarded and without any codec."""
