"""What is believed of the firmware's numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.printer.inquiry import Contradiction, Inquiry, Statement


def test_nothing_said_is_nothing() -> None:
    assert Inquiry().end() is None


def test_two_numbers_of_one_answer_must_agree() -> None:
    inquiry = Inquiry()
    inquiry.last_line(6)
    inquiry.resend(7)
    assert inquiry.end() == Statement(6, sure=True)
    inquiry.asked(1.0)
    inquiry.last_line(6)
    inquiry.resend(8)
    assert isinstance(inquiry.end(), Contradiction)


def test_a_lone_number_counts_when_it_is_repeated() -> None:
    inquiry = Inquiry()
    inquiry.resend(7)
    assert inquiry.end() == Statement(6, sure=False)
    inquiry.asked(1.0)
    inquiry.last_line(6)
    assert inquiry.end() == Statement(6, sure=True)
    inquiry.begin()
    inquiry.resend(7)
    assert inquiry.end() == Statement(6, sure=False)


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=20))
def test_lone_numbers_are_sure_exactly_when_two_in_a_row_agree(numbers: list[int]) -> None:
    inquiry = Inquiry()
    before: int | None = None
    for number in numbers:
        inquiry.asked(1.0)
        inquiry.resend(number + 1)
        assert inquiry.end() == Statement(number, sure=number == before)
        before = number


def test_an_awaited_answer_keeps_its_time_until_something_was_said() -> None:
    inquiry = Inquiry()
    inquiry.asked(5.0)
    inquiry.settle(1.0, answer_awaited=True)
    assert inquiry.deadline == 5.0
    inquiry.resend(3)
    inquiry.settle(1.5, answer_awaited=True)
    assert inquiry.deadline == 1.5
    inquiry.settle(2.0, answer_awaited=False)
    assert inquiry.deadline == 2.0


def test_an_answer_is_complete_only_when_no_other_can_be_on_its_way() -> None:
    inquiry = Inquiry()
    inquiry.asked(1.0)
    inquiry.last_line(1)
    complete = [inquiry.is_complete]
    inquiry.resend(2)
    complete.append(inquiry.is_complete)
    inquiry.asked(2.0)
    inquiry.last_line(1)
    inquiry.resend(2)
    complete.append(inquiry.is_complete)
    assert complete == [False, True, False]
