"""One Pulumi stack is one environment: its settings, its composition and its outputs.

- Read: `loader`, by `yaml_text`, `kubeconfigs`, `kubeconfig_sources`, `other_stacks`; warned of: `backends`.
- Settings: `settings`, of `tenant_settings`, `part_settings` and `sections`, of the words of `vocabulary`.
- Checked: `validation`, by `cross_checks`, `quota_checks` and `secret_checks` (`partial`, `secrecy`).
- Told: `problems`; `notices`, of what is not acted on yet.
- Composed: `environment`, by `mapping` and `targets`; exported: `outputs`, by `description`, to `consumer`.
"""
