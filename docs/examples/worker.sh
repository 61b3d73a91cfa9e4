#!/bin/sh
# A Loadstar worker in plain sh. It shows how little is needed; a real one has a
# JSON library (or calls jq).
#
#   pools:
#     shout: {kind: stdio, command: [sh, worker.sh], max: 4}
#
# A task's input is a text without quotes or backslashes; its result is the text in
# capitals. It does one thing at a time, so it neither answers pings nor heeds a
# cancel while it runs a task, and is killed where it must stop one.

# field NAME: the text or number of the first "NAME": in $line
field() {
	printf '%s\n' "$line" | sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"
}

reply() {
	printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$1"
}

while read -r line; do
	id=$(field id)
	case $line in
	*'"method":"initialize"'*)
		sleep 0.05 # the cold start
		reply '"result":{}'
		;;
	*'"method":"run"'*)
		input=$(field input)
		if [ -n "$input" ]; then
			reply "\"result\":\"$(printf %s "$input" | tr '[:lower:]' '[:upper:]')\""
		else
			echo "nothing to do" >&2
			reply '"error":{"code":1,"message":"the input is not a text","data":{"exit_code":1}}'
		fi
		;;
	*'"method":"ping"'*) reply '"result":{}' ;;
	*'"method":"shutdown"'*)
		reply '"result":{}'
		exit 0
		;;
	esac
done
