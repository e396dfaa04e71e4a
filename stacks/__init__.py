"""One Pulumi stack is one environment: its settings, its composition and its outputs.

- Read: `loader`, by `yaml_text`, `kubeconfigs`, `kubeconfig_sources`, `image_sources`,
  `secret_sources`, `signing`, `github_app`, `results_sources`, `gateway_sources` (`mutual_tls`), by
  `certificates`, `other_stacks`; warned of: `backends`.
- Settings: `settings`, of `tenant_settings`, `tekton_settings`, `results_settings`, `argocd_settings`,
  `image_settings`, `pipelines_as_code_settings`, `gateway_settings`, `part_settings` and `sections`, of the
  words of `vocabulary` and `provider_words`.
- Checked: `validation`, by `cross_checks`, `quota_checks`, `tekton_checks`, `argocd_checks`, `image_checks`,
  `release_checks`, `pipelines_as_code_checks`, `gateway_checks` and `secret_checks` (`partial`, `secrecy`).
- Told: `problems`; `notices`, of what is not acted on yet, or may not be meant so.
- Composed: `environment`, by `mapping` (`mapping_argocd`, `mapping_delivery`, `mapping_gateway`,
  `mapping_images`, `mapping_pipelines_as_code`, `mapping_releases`, `mapping_results`, `mapping_tekton`),
  `wanted_releases` and `targets`; without engine, for the GitOps repository: `rendering` (`rendered_yaml`);
  exported: `outputs`, by `description`, to `consumer`.
"""
