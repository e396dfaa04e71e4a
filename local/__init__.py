"""The embedded environment: a real kcp and real Kubernetes clusters on one Linux machine."""
