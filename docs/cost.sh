#!/usr/bin/env bash
# What an attached screen costs beside btop and htop: CPU in percent of a core and
# resident memory, each at 1 Hz on 200x50, at the host's own number of processes and
# with 500 idle ones more. Needs tmux, btop and htop. SECONDS_EACH (30) is how long each is
# watched. All three run at the same time, so that what disturbs one disturbs all.
set -euo pipefail
cd "$(dirname "$0")/.."
watch=${SECONDS_EACH:-30}
work=$(mktemp -d)
idle=()
cleanup() {
	tmux -L cost kill-server 2>/dev/null || true
	[ ${#idle[@]} -eq 0 ] || kill "${idle[@]}" 2>/dev/null || true
	[ -z "${daemon:-}" ] || { kill "$daemon" && wait "$daemon"; } 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
go build -o "$work/loadstar" ./cmd/loadstar
export XDG_CONFIG_HOME="$work/config"
mkdir -p "$work/config/btop" "$work/config/htop"
echo 'update_ms = 1000' >"$work/config/btop/btop.conf"
echo 'delay=10' >"$work/config/htop/htoprc"

"$work/loadstar" daemon --state-dir "$work/state" 2>/dev/null &
daemon=$!
for _ in $(seq 100); do
	[ -S "$work/state/api.sock" ] && break
	sleep 0.1
done

ticks() { awk '{sub(/^.*\) /, ""); print $12 + $13}' "/proc/$1/stat"; }
rss() { awk -v what="$2:" '$1 == what {printf "%.1f", $2 / 1024}' "/proc/$1/status"; }

# measure: a line for each program, after ten seconds to settle.
measure() {
	local names=(loadstar btop htop) pids=() before=() i
	tmux -L cost new-session -d -s loadstar -x 200 -y 50 "exec env COLORTERM=truecolor LANG=C.UTF-8 $work/loadstar --state-dir $work/state"
	tmux -L cost new-session -d -s btop -x 200 -y 50 "exec env LANG=C.UTF-8 btop"
	tmux -L cost new-session -d -s htop -x 200 -y 50 "exec env LANG=C.UTF-8 htop"
	sleep 10
	for i in 0 1 2; do
		pids[i]=$(tmux -L cost display-message -p -t "${names[i]}" '#{pane_pid}')
		before[i]=$(ticks "${pids[i]}")
	done
	sleep "$watch"
	for i in 0 1 2; do
		local used=$(($(ticks "${pids[i]}") - before[i]))
		printf '| %s | %s | %s | %s | %s |\n' "${names[i]}" "$1" \
			"$(awk -v u="$used" -v hz="$(getconf CLK_TCK)" -v s="$watch" 'BEGIN {printf "%.2f", 100 * u / hz / s}')" "$(rss "${pids[i]}" VmRSS)" "$(rss "${pids[i]}" RssAnon)"
	done
	tmux -L cost kill-server
	sleep 1
}

count() { ls /proc | grep -c '^[0-9]'; }
echo '| program | processes | CPU, % of a core | RSS, MiB | of it its own (anonymous), MiB |'
echo '| --- | --- | --- | --- | --- |'
measure "$(count)"
for _ in $(seq 500); do
	sleep 100000 &
	idle+=($!)
done
measure "$(count)"
