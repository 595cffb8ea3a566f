#!/usr/bin/env perl
# SPDX-License-Identifier: MIT
#
# A warm runner for Perl functions, of core modules alone; docs/runner-protocol.md is the protocol.
#
#     [function slug]
#     kind = runner
#     runner = ["perl", "/usr/share/ganger/runners/ganger_runner.pl"]
#     call = My::Text:slug
#     env = {"PERL5LIB": "/srv/app/lib"}
#
# `call` is "Module::Name:function", or "/path/of/file.pl:function" for one that the file defines. Arguments by name
# follow the others, as a list of pairs. The result is what the function returns in scalar context: JSON, or with a
# reference to a string the bytes of that. What it dies of is the job's error. Inside of a call:
#
#     Ganger::progress(3, 10, 'tile 3');
#     Ganger::data($value);                a partial result
#     Ganger::log('half of it', 'warning');
#     system 'ganger', 'show', 'self';     GANGER_URL and GANGER_TOKEN are this job's own
#     $Ganger::task                        { id => …, name => …, attempt => …, inputs => { data => 'path of a blob' } }
#
# Cancel and time limits arrive as an exception, "Ganger::Cancelled". `init` of the function is called like `call`,
# without arguments, before the first task.
package Ganger;
use strict;
use warnings;
use Fcntl qw(F_GETFD F_SETFD FD_CLOEXEC SEEK_SET);
use JSON::PP ();
use POSIX ();

our $task;
my $SHM_FROM = 256 * 1024;    # larger bodies go through the outbox
my $json = JSON::PP->new->utf8->allow_nonref;
my $armed = 0;                # SIGINT stops what runs
my $held = 0;                 # a frame is being written
my $pending = 0;

sub open_fd {
    my ($mode, $name, $default) = @_;
    open(my $file, "$mode&=", $ENV{$name} // $default) or die "descriptor $name: $!\n";
    binmode $file;
    fcntl($file, F_SETFD, fcntl($file, F_GETFD, 0) | FD_CLOEXEC);    # children must not hold it
    return $file;
}

my $in = open_fd('<', 'GANGER_IN_FD', 3);
my $out = open_fd('>', 'GANGER_OUT_FD', 4);
my $outbox = open_fd('>', 'GANGER_OUTBOX_FD', 6);

sub write_all {
    my ($file, $bytes) = @_;
    for (my $sent = 0; $sent < length $bytes;) {
        my $n = syswrite($file, $bytes, length($bytes) - $sent, $sent);
        if (defined $n) { $sent += $n }
        elsif (!$!{EINTR}) { POSIX::_exit(0) }    # the service is gone
    }
}

sub stop { $armed = 0; die "Ganger::Cancelled\n" }

$SIG{INT} = sub {
    if ($held) { $pending = 1 }
    elsif ($armed) { stop() }
};

sub put {
    my ($verb, $id, $body, %keys) = @_;
    $held = 1;
    if ($verb eq 'RESULT' && length $body > $SHM_FROM) {
        truncate $outbox, 0;
        sysseek $outbox, 0, SEEK_SET;
        write_all($outbox, $body);
        ($keys{shm}, $body) = ('/proc/self/fd/6:' . length $body, '');
    }
    my $head = "$verb $id " . length $body;
    for my $key (sort keys %keys) {
        (my $value = $keys{$key}) =~ s/([^!-\$&-~])/sprintf '%%%02X', ord $1/ge;
        $head .= " $key=$value";
    }
    write_all($out, "$head\n" . (length $body ? "$body\n" : ''));
    $held = 0;
    if ($pending) {
        $pending = 0;
        stop() if $armed;
    }
}

sub encode {
    my ($value) = @_;
    return ('raw', $$value) if ref $value eq 'SCALAR' && defined $$value && length $$value != 1;
    return ('json', $json->encode($value));
}

sub progress { my ($done, $total, $text) = @_; put('PROGRESS', $task->{id}, $json->encode([$done + 0, ($total // 1) + 0, "" . ($text // '')])) if $task }
sub log { my ($text, $level) = @_; utf8::encode($text) if utf8::is_utf8($text); put('LOG', $task->{id}, $text, level => $level // 'info') if $task }
sub data { my ($codec, $body) = encode($_[0]); put('DATA', $task->{id}, $body, codec => $codec) if $task }

sub find {
    my ($name) = @_;
    my ($module, $function) = $name =~ /^(.+):([A-Za-z_]\w*)$/ or die "call must be \"Module:function\", not \"$name\"\n";
    if ($module =~ m{/}) {
        require $module;
        $module = 'main';
    }
    else {
        (my $file = "$module.pm") =~ s{::}{/}g;
        require $file;
    }
    return $module->can($function) // die "there is no $module\::$function\n";
}

sub flush_streams { STDOUT->flush; STDERR->flush }

sub describe {
    my ($error) = @_;
    my $type = ref $error || 'Error';
    my $message = "$error";
    $message =~ s/\s+\z//;
    utf8::decode(my $text = substr $message, 0, 100000);
    return ('ERROR', $json->encode({ type => $type, message => $text, traceback => $text }), type => $type, codec => 'json');
}

sub run {
    my ($id, $keys, $body) = @_;
    my %inputs = map { (substr($_, 6) => $keys->{$_} =~ s/:\d+\z//r) } grep { /^input\./ } keys %$keys;
    $task = { id => $id, name => $keys->{name}, attempt => $keys->{attempt}, inputs => \%inputs };
    my %own = (GANGER_URL => $keys->{url}, GANGER_TOKEN => $keys->{token});
    local @ENV{ keys %own };
    for (keys %own) { defined $own{$_} ? ($ENV{$_} = $own{$_}) : delete $ENV{$_} }
    my @final;
    my $fine = eval {
        $pending = 0;
        $armed = 1;
        my $call = $json->decode($body);
        my $value = find($call->{fn})->(@{ $call->{args} }, %{ $call->{kwargs} });
        my ($codec, $bytes) = encode($value);
        $armed = 0;
        @final = ('RESULT', $bytes, codec => $codec);
        1;
    };
    my $error = $@;
    $armed = 0;
    @final = $error eq "Ganger::Cancelled\n" ? ('CANCELLED', '') : describe($error) if !$fine;
    undef $task;
    flush_streams();
    my $verb = shift @final;
    put($verb, $id, @final);
}

sub init {
    my ($keys, $body) = @_;
    my $fine = eval {
        for my $name (split /,/, $keys->{preload} // '') { require($name =~ s{::}{/}gr . '.pm') }
        find($body =~ s/\s+\z//r)->() if $body ne '';
        1;
    };
    return put('READY', 'init', '') if $fine;
    my ($verb, @rest) = describe($@);
    flush_streams();
    put($verb, 'init', @rest);
    POSIX::_exit(1);
}

sub read_body {
    my ($length, $shm) = @_;
    my $body = '';
    if ($length) {
        read($in, $body, $length + 1) == $length + 1 or return;
        chop $body;
    }
    if ($shm && $shm =~ /^(.+):(\d+)$/) {
        open my $inbox, '<:raw', $1 or return;
        read($inbox, $body, $2) == $2 or return;
    }
    return $body;
}

sub main_loop {
    put('HELLO', 1, $json->encode({ lang => 'perl', codecs => ['json', 'raw'], caps => ['init', 'sigint', 'shm'], max_inflight => 1 }));
    while (defined(my $line = <$in>)) {
        chomp $line;
        my ($verb, $id, $length, @pairs) = split / /, $line;
        my %keys = map { split /=/, $_, 2 } @pairs;
        s/%([0-9A-Fa-f]{2})/chr hex $1/ge for values %keys;
        my $body = read_body($length, $keys{shm}) // last;
        if ($verb eq 'TASK') { run($id, \%keys, $body) }
        elsif ($verb eq 'PING') { put('PONG', $id, '') }
        elsif ($verb eq 'INIT') { init(\%keys, $body) }
        elsif ($verb eq 'QUIT') { last }
    }
    flush_streams();
    POSIX::_exit(0);
}

package main;
require IO::Handle;
Ganger::main_loop();
