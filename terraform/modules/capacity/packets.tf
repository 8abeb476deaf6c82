# What this repository's benchmarks measured; a test compares the file with docs/results.md.
locals {
  measured   = jsondecode(file("${path.module}/../../capacity.json"))
  forwarding = local.measured.forwarding
  signaling  = local.measured.signaling.deliveries_per_cpu_second

  # Packets as full as in the benchmark.
  video_pps      = var.audience.video_bitrate * local.forwarding.video_packets_per_second / local.forwarding.video_bitrate
  viewer_pps     = local.video_pps + local.forwarding.audio_packets_per_second
  worker_pps     = floor(local.forwarding.packets_per_cpu_second * var.fleet.utilisation)
  packets_second = ceil(var.audience.viewers * local.viewer_pps)
  cores          = ceil(local.packets_second / local.worker_pps)
  hosts          = max(var.fleet.least_hosts, ceil(local.cores / var.fleet.cores_per_host))

  # 64 kbit/s of Opus, and 56 bytes with each packet: IPv4 20, UDP 8, RTP 12, AES-GCM's tag 16.
  viewer_bits_second = var.audience.video_bitrate + 64000 + local.viewer_pps * 56 * 8
  viewer_gb_hour     = local.viewer_bits_second * 3600 / 8 / 1e9
  egress_gb_hour     = var.audience.viewers * local.viewer_gb_hour
}
