// Package crdpuller stands in for the one function of kcp-dev/virtual-workspace-framework that
// api-syncagent calls. The real module is not served by Go module proxies. The agent needs it only to
// publish built-in Kubernetes types, which have no CustomResourceDefinition to read a schema from;
// Pipeline Service publishes types that a CustomResourceDefinition defines, so this function is never
// reached there, and for anything else it refuses instead of publishing a wrong schema.
package crdpuller

import (
	"errors"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/kube-openapi/pkg/util/proto"
)

// Convert refuses every schema: this build publishes only types that a CustomResourceDefinition defines.
func Convert(_ proto.Schema, _ *apiextensionsv1.JSONSchemaProps) []error {
	return []error{errors.New(
		"this build of api-syncagent can publish only types defined by a CustomResourceDefinition, not built-in ones",
	)}
}
