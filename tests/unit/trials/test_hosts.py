"""The choice between a host and a trial as the one at fault."""

import random

from sweeps.trials.dask_engine.hosts import IN_A_ROW, Hosts

PRESENT = {"a", "b", "c"}


def trial(number: int) -> tuple[str, int]:
    return "s/imdb", number


def test_what_fails_on_one_host_is_tried_on_another_and_counts_where_that_one_is_well() -> None:
    hosts = Hosts()
    hosts.completed("b", trial(0))
    assert hosts.failed("a", trial(1), "error: no", PRESENT)
    assert hosts.places(trial(1), PRESENT) == {"b", "c"}
    assert hosts.places(trial(2), PRESENT) == PRESENT
    assert not hosts.failed("b", trial(1), "error: no", PRESENT)
    assert hosts.places(trial(1), PRESENT) == PRESENT
    assert not any(hosts.failed(host, trial(1), "worker died", PRESENT) for host in "abcabc")
    assert not hosts.failed("a", trial(1), "worker died", PRESENT)
    assert hosts.usable(PRESENT) == PRESENT


def test_on_a_single_host_every_failure_counts_and_it_keeps_its_trials() -> None:
    hosts = Hosts()
    assert not any(hosts.failed("a", trial(n), "error: no", {"a"}) for n in range(9))
    assert hosts.usable({"a"}) == {"a"}
    assert not list(hosts.newly_refused())


def test_a_host_on_which_trials_keep_failing_that_others_complete_is_refused_once() -> None:
    hosts = Hosts()
    for n in range(IN_A_ROW):
        assert hosts.usable(PRESENT) == PRESENT
        assert hosts.failed("a", trial(n), f"error: disk full {n}", PRESENT)
    assert hosts.usable(PRESENT) == {"b", "c"}  # until it is known whose fault it was
    assert not list(hosts.newly_refused())
    hosts.completed("b", trial(0))
    (line,) = hosts.newly_refused()
    assert line == (
        "host a gets no more trials: 3 trials in a row failed there, and elsewhere they do not: error: disk full 2"
    )
    assert not list(hosts.newly_refused())
    assert hosts.usable({"a"}) == set()
    assert not hosts.failed("a", trial(8), "error", {"a"})
    assert hosts.failed("a", trial(9), "error", PRESENT)  # it was under way there


def test_a_trial_that_is_completed_on_a_host_clears_it() -> None:
    hosts = Hosts()
    for n in range(20):
        assert hosts.failed("a", trial(2 * n), "error", PRESENT)
        hosts.completed("b", trial(2 * n))
        hosts.completed("a", trial(2 * n + 1))
        assert not list(hosts.newly_refused())


def test_trials_that_fail_everywhere_speak_against_no_host() -> None:
    hosts, counted = Hosts(), 0
    for n in range(10):
        tried = 0
        while True:
            (host, *_) = sorted(hosts.places(trial(n), PRESENT))
            tried += 1
            if not hosts.failed(host, trial(n), "error", PRESENT):
                break
        assert tried <= len(PRESENT)
        counted += 1
    assert counted == 10
    assert not list(hosts.newly_refused())
    assert hosts.usable(PRESENT) == PRESENT


def test_however_the_faults_are_spread_no_good_trial_counts_as_failed_and_every_bad_one_does() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        present = {f"h{n}" for n in range(chance.randint(2, 6))}
        sick = set(chance.sample(sorted(present), chance.randint(0, len(present) - 1)))
        hosts = Hosts()
        for n in range(30):
            bad, tried = chance.random() < 0.2, 0
            while True:
                host = chance.choice(sorted(hosts.places(trial(n), present)))
                tried += 1
                assert tried <= len(present)
                if not bad and host not in sick:
                    hosts.completed(host, trial(n))
                    break
                if not hosts.failed(host, trial(n), "error", present):
                    assert bad, (seed, n, host)
                    break
            list(hosts.newly_refused())
            assert hosts.refused.keys() <= sick
