package cli

// DefaultDeps are the real parts.
func DefaultDeps() Deps {
	return Deps{NewClient: newClient}
}
