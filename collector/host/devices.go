package host

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
)

var (
	// Devices in memory, or stacked on others, whose bytes are counted where they
	// hit the disk; nvme0c0n1 is one path of nvme0n1.
	stacked = regexp.MustCompile(`^(loop|ram|zram|dm-|md|sr|fd|drbd|zd|bcache)\d|^nvme\d+c\d+n\d+`)
	// Links that carry another link's bytes again, for where the kernel does not
	// say which have a device of their own.
	carried = regexp.MustCompile(`^(veth|docker|br-|virbr|lxcbr|cni|flannel|cali|tun|tap|wg|tailscale|zt|bond|team|ifb|dummy|vmnet|br\d)|[.@]`)
	// Loopback: "lo", and "lo0" of the BSDs.
	loopback = regexp.MustCompile(`^lo\d*$`)
)

// isWholeDisk leaves out what is stacked, and partitions of a disk that is there
// itself: some clouds have xvda1 and no xvda.
func isWholeDisk(name string, exists func(string) bool) bool {
	if stacked.MatchString(name) {
		return false
	}
	disk := strings.TrimRight(name, "0123456789")
	if disk == name || disk == "" {
		return true
	}
	if p := strings.TrimSuffix(disk, "p"); p != disk && p != "" && isDigit(p[len(p)-1]) {
		return !exists(p) // nvme0n1p2, mmcblk0p1, nbd3p1
	}
	return !exists(disk) // sda1
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// links chooses the links that are counted, and remembers the choice until they change.
type links struct {
	sys     fs.FS // /sys
	names   []string
	choices map[string]bool
}

func hostLinks() links { return links{sys: os.DirFS("/sys")} }

// counted are the links with a device of their own, since what goes over bridges,
// tunnels and bonds goes over those in the end. In a container no link has one:
// then all are counted but loopback and what by its name is carried by another.
func (l *links) counted(names []string) map[string]bool {
	if slices.Equal(names, l.names) {
		return l.choices
	}
	l.names, l.choices = slices.Clone(names), map[string]bool{}
	for _, name := range names {
		if _, err := fs.Stat(l.sys, "class/net/"+name+"/device"); err == nil {
			l.choices[name] = true
		}
	}
	if len(l.choices) > 0 {
		return l.choices
	}
	for _, name := range names {
		l.choices[name] = !loopback.MatchString(name) && !carried.MatchString(name)
	}
	return l.choices
}
