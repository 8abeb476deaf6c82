"""Stateless functions behind the load balancer: api, signaling and web. Any number, killed at any moment."""
