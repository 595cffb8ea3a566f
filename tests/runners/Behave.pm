# SPDX-License-Identifier: MIT
# What a task of the Perl runner does in tests/integration/test_runners_shipped.c.
package Behave;
use strict;
use warnings;
use POSIX ();

my $calls = 0;

sub behave {
    my ($what, $arg, %named) = @_;
    $calls++;
    return $arg if $what eq 'echo';
    return $calls if $what eq 'calls';
    return $$ + 0 if $what eq 'pid';
    return 'x' x $arg if $what eq 'big';
    return length $arg if $what eq 'length';
    return \"\xff\x00" if $what eq 'bytes';
    die "$arg\n" if $what eq 'fail';
    if ($what eq 'print') {
        print "to stdout\n";
        print STDERR "to stderr\n";
        return undef;
    }
    if ($what eq 'log') { Ganger::log($arg, 'warning'); return undef }
    if ($what eq 'wait') { Ganger::progress(1, 2, 'waits'); sleep 60 }
    if ($what eq 'stubborn') {
        $SIG{TERM} = 'IGNORE';
        Ganger::progress(1, 2, 'waits');
        while (1) { eval { sleep 60 } }
    }
    exit $arg if $what eq 'exit';
    if ($what eq 'kill') { kill 'KILL', $$; sleep 60 }
    if ($what eq 'data') { Ganger::data({ i => $_ }) for 0 .. $arg - 1; return 'end' }
    if ($what eq 'input') {
        open my $file, '<:raw', $Ganger::task->{inputs}{$arg} or die "$arg: $!\n";
        local $/;
        return \scalar <$file>;
    }
    return scalar `$arg show self --json` if $what eq 'self';
    return $ENV{GANGER_TOKEN} if $what eq 'token';
    die "unknown: $what\n";
}

sub start { $calls = 100 }

1;
