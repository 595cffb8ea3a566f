#!/usr/bin/env tclsh
# SPDX-License-Identifier: MIT
# A runner in Tcl, written from docs/runner-protocol.md alone: sum, mean and squares of a list of numbers. Tcl has no
# JSON of its own; a list of numbers and a name can be taken out of it by a pattern.

set in [open /dev/fd/3 r]
set out [open /dev/fd/4 w]
foreach channel [list $in $out] {fconfigure $channel -translation binary}

proc put {verb id {body ""} {keys ""}} {
    puts $::out "$verb $id [string length $body]$keys"
    if {$body ne ""} {puts $::out $body}
    flush $::out
}

proc fail {id type message} {
    put ERROR $id "{\"type\":\"$type\",\"message\":\"$message\"}" " type=$type"
}

proc numbers {body} {
    if {![regexp {"args":\[\s*\[([-+0-9.eE,\s]*)\]\s*\]} $body -> text]} {
        error "the argument is a list of numbers"
    }
    return [split [string map {" " ""} $text] ","]
}

proc sum {list} {expr [join [concat 0 $list] +]}

proc work {id body} {
    regexp {"fn":"([^"]*)"} $body -> fn
    set list [numbers $body]
    switch $fn {
        sum {return [sum $list]}
        mean {return [expr {double([sum $list]) / [llength $list]}]}
        squares {
            foreach number $list {put DATA $id [expr {$number * $number}] " codec=json"}
            return [llength $list]
        }
    }
    error "there is no $fn"
}

put HELLO 1 {{"lang":"tcl","codecs":["json"],"caps":[]}}
while {[gets $in line] >= 0} { # until the service is gone
    lassign $line verb id length
    set body ""
    if {$length > 0} {set body [read $in $length]; read $in 1}
    switch $verb {
        TASK {
            if {[catch {work $id $body} value]} {
                fail $id Error $value
            } else {
                put RESULT $id $value " codec=json"
            }
        }
        PING {put PONG $id}
        QUIT {break}
    }
}
