"""What is said of data is said once a command, and again by the next one."""

from levelfield.data.said import each_said_once, say


def test_a_sentence_is_said_once_a_command_and_by_the_next_one_again(caplog):
    for _ in range(2):
        with each_said_once():
            say("val is not used")
            say("val is not used")
            say("one class is rare")
    assert [record.message for record in caplog.records] == ["val is not used", "one class is rare"] * 2
    caplog.clear()
    say("val is not used")
    say("val is not used")
    assert len(caplog.records) == 2, "a library keeps no record of what it said"
