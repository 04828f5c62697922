from runtime import logfile


def test_last_lines_are_those_of_this_run(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("old\n")
    since = logfile.size(log)
    with log.open("a") as file:
        file.write("".join(f"line {n}\n" for n in range(40)))
    assert logfile.last_lines(log, 3, since=since) == ["line 37", "line 38", "line 39"]
    assert "old" not in logfile.quoted(log, since=since)


def test_a_file_cut_since_then_counts_as_new(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("after the cut\n")
    assert logfile.last_lines(log, since=10**6) == ["after the cut"]


def test_only_the_end_of_a_huge_file_is_read(tmp_path):
    log = tmp_path / "a.log"
    log.write_bytes(b"\xff" * 1_000_000 + b"\nend\n")
    assert logfile.last_lines(log, 1) == ["end"]


def test_bound_moves_what_is_too_much_and_appenders_go_on(tmp_path):
    log = tmp_path / "a.log"
    with log.open("a") as writer:
        writer.write("x" * 100)
        writer.flush()
        logfile.bound(log, 100)
        assert log.stat().st_size == 100
        logfile.bound(log, 99)
        writer.write("next")
    assert log.read_text() == "next"
    assert (tmp_path / "a.log.1").read_text() == "x" * 100


def test_a_missing_log_is_quoted_as_empty(tmp_path):
    assert logfile.quoted(tmp_path / "no.log").endswith("(empty)")
