package scheduler

import (
	"cmp"
	"slices"
	"strings"

	"loadstar/models"
)

// CapsCall changes the caps that hold over all pools.
type CapsCall struct{ Caps map[string]int }

// capRule is a cap on tasks with a label: of one value, or of each by itself.
type capRule struct {
	label, value string
	each         bool
	most         int
}

// capRules reads checked caps; those of one value come before that of each, which
// they take the place of.
func capRules(caps map[string]int) []capRule {
	var rules []capRule
	for name, most := range caps {
		r := capRule{most: most}
		var one bool
		r.label, r.value, one = strings.Cut(name, "=")
		r.each = !one
		rules = append(rules, r)
	}
	slices.SortFunc(rules, func(a, b capRule) int {
		if a.each != b.each {
			if a.each {
				return 1
			}
			return -1
		}
		return cmp.Or(strings.Compare(a.label, b.label), strings.Compare(a.value, b.value))
	})
	return rules
}

// rule is a cap that a task is under.
type rule struct {
	id, name string
	most     int
}

// matching are the caps that labels are under, the narrowest first: at most one for
// each label of the pool's own, and one of everybody's.
func (c *Core) matching(p *pool, labels map[string]string) []rule {
	if len(labels) == 0 || len(p.caps) == 0 && len(c.caps) == 0 {
		return nil
	}
	var out []rule
	for _, scope := range [...]struct {
		pool, of string
		rules    []capRule
	}{{p.spec.Name, " in pool " + p.spec.Name, p.caps}, {"", "", c.caps}} {
		found := len(out)
		for _, r := range scope.rules {
			v, there := labels[r.label]
			if !there || !r.each && v != r.value {
				continue
			}
			name := r.label + "=" + v
			id := scope.pool + "\x00" + name
			if !slices.ContainsFunc(out[found:], func(o rule) bool { return o.id == id }) {
				out = append(out, rule{id: id, name: name + scope.of, most: r.most})
			}
		}
	}
	slices.SortFunc(out, func(a, b rule) int { return cmp.Or(cmp.Compare(a.most, b.most), strings.Compare(a.id, b.id)) })
	return out
}

// setCaps changes the caps that hold over all pools; they are the configuration's,
// and so not kept.
func (c *Core) setCaps(caps map[string]int) error {
	if err := models.CheckCaps("caps", caps); err != nil {
		return err
	}
	c.caps = capRules(caps)
	for _, p := range c.poolList {
		c.regroup(p)
	}
	return nil
}
