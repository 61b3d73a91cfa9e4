#!/usr/bin/env bash
# Draws the pictures under docs/img from a real run of the demo, in a real terminal.
# Needs tmux, aha and chromium (Debian: apt-get install tmux aha chromium fonts-dejavu-core).
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'tmux -L pictures kill-server 2>/dev/null || true; rm -rf "$work"' EXIT
go build -o "$work/loadstar" ./cmd/loadstar

# draw SESSION FILE COLUMNS ROWS: the session's screen as a PNG, a cell at its place.
draw() {
	tmux -L pictures capture-pane -t "$1" -p -e >"$work/screen.ans"
	{
		echo '<html><meta charset="utf-8"><style>i{display:inline-block;width:1ch;height:16px;overflow:hidden;font-style:normal;vertical-align:top}</style>'
		echo '<body style="background:#111;color:#ddd;margin:8px"><pre style="font:13px/16px DejaVu Sans Mono;margin:0">'
		aha --no-header --black <"$work/screen.ans" | perl -CSD -pe 's/([^\x00-\x7f])/<i>$1<\/i>/g'
		echo '</pre></body></html>'
	} >"$work/screen.html"
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/chromium" \
		--disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync \
		--window-size=$(($3 * 8 + 24)),$(($4 * 16 + 24)) --screenshot="docs/img/$2" "file://$work/screen.html" >/dev/null 2>&1
}

# show SESSION COLUMNS ROWS ENVIRONMENT…: the demo on a screen of that size.
show() {
	local session=$1 columns=$2 rows=$3
	shift 3
	tmux -L pictures new-session -d -s "$session" -x "$columns" -y "$rows" "env COLORTERM=truecolor $* $work/loadstar demo --for 10m"
}

keys() { tmux -L pictures send-keys -t "$1" "${@:2}"; sleep 2; }

# pages SESSION SUFFIX COLUMNS ROWS: a picture of every page.
pages() {
	keys "$1" 1; draw "$1" "overview$2.png" "$3" "$4"
	keys "$1" 2; draw "$1" "tasks$2.png" "$3" "$4"
	keys "$1" 3; keys "$1" g j j j j j j j; draw "$1" "forecast$2.png" "$3" "$4"
	keys "$1" 4; keys "$1" j; draw "$1" "pools$2.png" "$3" "$4"
	keys "$1" 5; keys "$1" j; draw "$1" "queues$2.png" "$3" "$4"
	keys "$1" 6; draw "$1" "agents$2.png" "$3" "$4"
	keys "$1" 7; draw "$1" "events$2.png" "$3" "$4"
	keys "$1" 3; keys "$1" '[' '[' '['; draw "$1" "past$2.png" "$3" "$4"
	keys "$1" F; keys "$1" 2; keys "$1" : c a n c e l; draw "$1" "palette$2.png" "$3" "$4"; keys "$1" Escape
}

tmux -L pictures new-session -d -s keeper # the server would end with its last session
show large 200 50
sleep "${SETTLE:-75}"
pages large -200x50 200 50
tmux -L pictures kill-session -t large
show small 80 24
sleep "${SETTLE:-75}"
pages small -80x24 80 24
tmux -L pictures kill-session -t small
show mono 80 24 NO_COLOR=1
sleep 30
keys mono 1; draw mono overview-80x24-mono.png 80 24
keys mono '?'; draw mono help-80x24-mono.png 80 24
