# One bash that outlives its blocks; started by shell.py as: bash --norc --noprofile session.bash DIR
# DIR holds the FIFOs in, ctl, out.N, err.N and the files block.N. Each report on ctl is one line: WORD STATUS PID [LINE].
# Never `. block || …` or `if . block`: both switch errexit off inside the block.
# shellcheck shell=bash disable=SC1090,SC2016,SC2034,SC2064,SC2209,SC2320
if [[ ! -v __rb ]]; then
  readonly __rb=$1 __rb_src=${BASH_SOURCE[0]}
  set --
  shopt -s expand_aliases inherit_errexit
  trap() { # a block's EXIT trap runs when the session ends; ours stays armed
    if [[ $# -lt 2 || $1 == -[lp]* || $BASHPID != "$__rb_pid" ]]; then builtin trap "$@"; return; fi
    [[ $1 != -- ]] || shift
    local h=$1 s
    shift
    for s; do case $s in 0 | EXIT | SIGEXIT) __rb_bye=${h#-} ;; *) builtin trap -- "$h" "$s" ;; esac; done
  }
fi
__rb_pid=$BASHPID __rb_say=ready __rb_last=exit __rb_st=0 __rb_at='' __rb_top=$((${#BASH_LINENO[@]} + 1))
# errexit, exit N, set -u, ${x:?} all end here: report, then a fork carries the whole state on.
\builtin trap '__rb_st=$?; [[ $BASHPID == "$__rb_pid" ]] || \builtin exit "$__rb_st"; \exec </dev/null &>/dev/null
  \builtin printf "%s %s %s %s\n" "$__rb_last" "$__rb_st" "$BASHPID" "$__rb_at" >"$__rb/ctl"; (\builtin . "$__rb_src")' EXIT
# The line of the block that failed first, seen from the block's own level when it was inside a function.
__rb_seen='__rb_at=${__rb_at:-$((${#BASH_LINENO[@]} > __rb_top ? BASH_LINENO[${#BASH_LINENO[@]} - __rb_top - 1] : LINENO))}'
while
  \exec </dev/null &>/dev/null
  \builtin printf '%s %s %s %s\n' "$__rb_say" "$__rb_st" "$BASHPID" "$__rb_at" >"$__rb/ctl"
  \builtin trap '\builtin exit 143' TERM
  \builtin trap "$__rb_seen" ERR
  IFS=' ' \builtin read -r __rb_how __rb_n <"$__rb/in" || { \builtin trap - EXIT; \builtin exit 97; } # the runner is gone
do
  __rb_say=stray __rb_st=1 __rb_at='' # what a top-level `continue` reports
  \builtin set -eE -o pipefail
  \exec >"$__rb/out.$__rb_n" 2>"$__rb/err.$__rb_n"
  case $__rb_how in
    run) \builtin . "$__rb/block.$__rb_n" ;;
    sub) # a polled check: carries nothing on
      \builtin set +e
      \builtin trap - ERR
      (
        \builtin trap "$__rb_seen"'; \builtin printf "at %s %s %s\n" "$__rb_n" "$BASHPID" "$__rb_at" >"$__rb/ctl"' ERR
        \builtin set -e
        \builtin . "$__rb/block.$__rb_n"
      )
      ;;
    bye)
      \builtin set +e
      \builtin trap - EXIT TERM
      \builtin eval "${__rb_bye-}"
      \builtin exit
      ;;
    *) \builtin exit 97 ;;
  esac
  __rb_st=$? __rb_say=end
done
__rb_last=break # a top-level `break`
\builtin exit 1
