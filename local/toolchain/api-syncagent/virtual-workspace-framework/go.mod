module github.com/kcp-dev/virtual-workspace-framework

go 1.24.0

require (
	k8s.io/apiextensions-apiserver v0.36.0
	k8s.io/kube-openapi v0.0.0-20260414162039-ec9c827d403f
)
