// Package config reads Loadstar's configuration: flags beat environment
// (LOADSTAR_*), which beats the config file, which beats the defaults.
//
// The file is YAML; its keys are the JSON names of Config's fields, and the
// environment's and the flags' names are made from the same: state_dir,
// LOADSTAR_STATE_DIR, --state-dir. An unknown key is refused, wherever it stands.
package config
