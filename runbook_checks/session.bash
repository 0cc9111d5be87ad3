# One bash that outlives its blocks; started by shell.py as: bash --norc --noprofile -c '. "$0"' session.bash DIR
# Sourced, so that no descriptor of the shell leads to this file. DIR holds the FIFOs in, ctl, out.N, err.N and the files
# block.N. A report on ctl is one line: KEY WORD STATUS PID [LINE], and carries the key of the order that it answers. An order on
# in is one line of 48 bytes, so that one read takes it whole: WORD KEY LAST N, and carries the key of the order before. Any
# other line is something that a block has printed.
# Never `. block || …` or `if . block`: both switch errexit off inside the block.
# shellcheck shell=bash disable=SC1090,SC2016,SC2034,SC2064,SC2209,SC2320
if [[ ! -v __rb ]]; then
  readonly __rb=$1 __rb_src=${BASH_SOURCE[0]}
  __rb_key=0000000000000000 __rb_say=''
  set --
  shopt -s expand_aliases
  trap() { # a block's EXIT trap runs when the session ends; ours stays armed
    if [[ $# -eq 0 || $1 == -[lp]* || $BASHPID != "$__rb_pid" ]]; then builtin trap "$@"; return; fi
    [[ $1 != -- ]] || shift
    local h=- s
    [[ $# -eq 1 ]] || { h=$1 && shift; }
    for s; do case $s in 0 | EXIT | SIGEXIT) __rb_bye=${h#-} ;; *) builtin trap -- "$h" "$s" ;; esac; done
    [[ $h != - ]] || __rb_arm "$(builtin trap -p)"
  }
  # A signal that ends the shell runs the EXIT trap with the status of the command before it: `exit 0`, as far as we could see.
  __rb_arm() {
    for __rb_signal in HUP INT ILL TRAP ABRT BUS FPE USR1 SEGV USR2 PIPE ALRM TERM XCPU XFSZ VTALRM SYS; do
      [[ $1 == *" SIG$__rb_signal"* ]] || \builtin trap "\\builtin exit \$((128 + \$(\\builtin kill -l $__rb_signal)))" "$__rb_signal"
    done
  }
  # The line of the block that failed first, seen from the block's own level when it was inside a function.
  __rb_seen='__rb_at=${__rb_at:-$((${#BASH_LINENO[@]} > __rb_top ? BASH_LINENO[${#BASH_LINENO[@]} - __rb_top - 1] : LINENO))}'
  readonly __rb_seen
  readonly -f __rb_arm
fi
__rb_pid=$BASHPID __rb_last=exit __rb_st=0 __rb_at='' __rb_top=$((${#BASH_LINENO[@]} + 1))
# errexit, exit N, set -u, ${x:?} all end here: report, then a fork carries the whole state on.
\builtin trap '__rb_st=$?; [[ $BASHPID == "$__rb_pid" ]] || \builtin exit "$__rb_st"; \builtin unset -f exec
  \exec </dev/null &>/dev/null; \builtin printf "%s %s %s %s %s\n" "$__rb_key" "$__rb_last" "$__rb_st" "$BASHPID" "$__rb_at" >"$__rb/ctl"
  __rb_say=ready; (\builtin . "$__rb_src")' EXIT
__rb_arm ''
while
  \builtin unset -f exec # with a function of that name nothing could be redirected, and `builtin exec` redirects nothing
  [[ ! $__rb_say ]] || { # at first there is nothing to say, and nothing to point away
    \exec &>/dev/null
    \builtin printf '%s\n' "$__rb_key $__rb_say $__rb_st $BASHPID $__rb_at" >"$__rb/ctl"
    \exec </dev/null
  }
  # What can be done for the next block already, while the runner is busy with this one.
  \builtin trap '\builtin exit 143' TERM
  \builtin trap "$__rb_seen" ERR
  \builtin set -eE -o pipefail
  \builtin shopt -s inherit_errexit
  until
    \builtin read -r -N 48 __rb_order <"$__rb/in" || { \builtin trap - EXIT && \builtin exit 97; } # the runner is gone
    [[ ${__rb_order:21:16} == "$__rb_key" ]]
  do
    if [[ $__rb_order != *$'\n' ]]; then # something stood before it
      IFS='' \builtin read -r __rb_n <"$__rb/in"
      __rb_order+=$__rb_n && __rb_order=${__rb_order: -47}
      [[ ${__rb_order:21:16} != "$__rb_key" ]] || \builtin break
    fi
  done
do
  [[ $__rb_say ]] || SECONDS=0 # the shell may have waited for its first order
  __rb_key=${__rb_order:4:16} __rb_n=${__rb_order:38:9}
  __rb_n=${__rb_n%% *} __rb_say=stray __rb_st=1 __rb_at='' # what a top-level `continue` reports
  \exec >"$__rb/out.$__rb_n" 2>"$__rb/err.$__rb_n"
  case ${__rb_order:0:3} in
    run) \builtin . "$__rb/block.$__rb_n" ;;
    sub) # a polled check: carries nothing on
      \builtin set +e
      \builtin trap - ERR
      (
        \builtin trap "$__rb_seen"'; \builtin printf "%s at 0 %s %s\n" "$__rb_key" "$BASHPID" "$__rb_at" >"$__rb/ctl"' ERR
        \builtin set -e
        \builtin . "$__rb/block.$__rb_n"
      )
      ;;
    bye)
      \builtin set +e
      \builtin trap - EXIT TERM
      [[ ! ${__rb_bye-} ]] || \builtin printf '%s bye 0 %s \n' "$__rb_key" "$BASHPID" >"$__rb/ctl"
      \builtin eval "${__rb_bye-}"
      \builtin exit
      ;;
    *) \builtin exit 97 ;;
  esac
  __rb_st=$? __rb_say=end
done
__rb_last=break # a top-level `break`
\builtin exit 1
