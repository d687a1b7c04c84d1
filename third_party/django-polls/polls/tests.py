from datetime import timedelta

from django.contrib.auth.models import User
from django.test import TestCase
from django.urls import reverse
from django.utils import timezone

from .models import Choice, Question


def ask(text, *choices, in_days=0):
    question = Question.objects.create(
        question_text=text, pub_date=timezone.now() + timedelta(days=in_days)
    )
    for choice in choices:
        question.choices.create(choice_text=choice)
    return question


class IndexTests(TestCase):
    def test_says_so_when_there_is_nothing_to_vote_on(self):
        response = self.client.get(reverse("polls:index"))
        self.assertContains(response, "nothing to vote on")

    def test_lists_the_newest_question_first(self):
        older = ask("Tea?", "yes", "no", in_days=-2)
        newer = ask("Coffee?", "yes", "no", in_days=-1)
        questions = list(self.client.get(reverse("polls:index")).context["questions"])
        self.assertLess(questions.index(newer), questions.index(older))

    def test_hides_what_is_not_yet_published(self):
        ask("Tomorrow's question?", "yes", "no", in_days=1)
        self.assertNotContains(self.client.get(reverse("polls:index")), "Tomorrow")

    def test_hides_questions_that_nobody_could_answer(self):
        ask("Silence?")
        self.assertNotContains(self.client.get(reverse("polls:index")), "Silence?")

    def test_shows_how_many_people_have_voted(self):
        question = ask("Tea?", "yes", "no")
        question.choices.update(votes=3)
        self.assertContains(self.client.get(reverse("polls:index")), "6 votes")

    def test_lists_a_question_once_however_many_choices_it_has(self):
        ask("Which of the four?", "north", "east", "south", "west")
        self.assertContains(self.client.get(reverse("polls:index")), "Which of the four?", count=1)


class DetailTests(TestCase):
    def test_offers_every_choice(self):
        question = ask("Tea?", "green", "black")
        response = self.client.get(question.get_absolute_url())
        for choice in question.choices.all():
            self.assertContains(
                response, f'<input type="radio" name="choice" value="{choice.pk}">', html=True
            )

    def test_an_unpublished_question_is_not_found(self):
        question = ask("Tomorrow?", "yes", in_days=1)
        for page in ("detail", "results"):
            response = self.client.get(reverse(f"polls:{page}", args=[question.pk]))
            self.assertEqual(response.status_code, 404)


class VoteTests(TestCase):
    def setUp(self):
        self.question = ask("Tea?", "green", "black")
        self.green, self.black = self.question.choices.all()
        self.url = reverse("polls:vote", args=[self.question.pk])

    def votes(self):
        return [choice.votes for choice in self.question.choices.all()]

    def test_a_vote_is_counted_and_shown(self):
        response = self.client.post(self.url, {"choice": self.black.pk}, follow=True)
        self.assertRedirects(response, reverse("polls:results", args=[self.question.pk]))
        self.assertContains(response, f'data-choice-id="{self.black.pk}" data-votes="1"')
        self.assertContains(response, f'data-choice-id="{self.green.pk}" data-votes="0"')

    def test_votes_from_stale_copies_all_count(self):
        copies = [Choice.objects.get(pk=self.green.pk) for _ in range(3)]
        for copy in copies:
            copy.count_vote()
        self.assertEqual(self.votes(), [3, 0])

    def test_no_choice_is_an_error_and_counts_nothing(self):
        response = self.client.post(self.url)
        self.assertContains(response, "pick an answer", status_code=422)
        self.assertEqual(self.votes(), [0, 0])

    def test_a_choice_of_another_question_counts_nothing(self):
        other = ask("Coffee?", "yes").choices.get()
        for choice in (other.pk, "green", "-1"):
            response = self.client.post(self.url, {"choice": choice})
            self.assertContains(response, "does not belong", status_code=422)
        other.refresh_from_db()
        self.assertEqual((self.votes(), other.votes), ([0, 0], 0))

    def test_reading_the_address_of_a_vote_counts_nothing(self):
        self.assertEqual(self.client.get(self.url).status_code, 405)
        self.assertEqual(self.votes(), [0, 0])

    def test_an_unpublished_question_takes_no_votes(self):
        later = ask("Tomorrow?", "yes", in_days=1)
        response = self.client.post(
            reverse("polls:vote", args=[later.pk]), {"choice": later.choices.get().pk}
        )
        self.assertEqual(response.status_code, 404)
        self.assertEqual(later.choices.get().votes, 0)


class ResultsTests(TestCase):
    def test_shows_shares_in_percent(self):
        question = ask("Tea?", "green", "black")
        question.choices.filter(choice_text="green").update(votes=3)
        question.choices.filter(choice_text="black").update(votes=1)
        response = self.client.get(reverse("polls:results", args=[question.pk]))
        self.assertContains(response, "3 votes · 75%")
        self.assertContains(response, "1 vote · 25%")

    def test_no_votes_are_no_division_by_zero(self):
        question = ask("Tea?", "green")
        response = self.client.get(reverse("polls:results", args=[question.pk]))
        self.assertContains(response, "0 votes · 0%")


class AdminTests(TestCase):
    def test_staff_can_write_a_question_with_its_choices(self):
        self.client.force_login(User.objects.create_superuser("staff", password="x"))
        page = reverse("admin:polls_question_add")
        self.assertContains(self.client.get(page), "choices-0-choice_text")
        response = self.client.post(
            page,
            {
                "question_text": "Tea?",
                "pub_date_0": "2026-01-02",
                "pub_date_1": "03:04",
                "choices-TOTAL_FORMS": 1,
                "choices-INITIAL_FORMS": 0,
                "choices-0-choice_text": "green",
                "choices-0-votes": 0,
            },
        )
        self.assertRedirects(response, reverse("admin:polls_question_changelist"))
        self.assertEqual(Choice.objects.get(choice_text="green").question.question_text, "Tea?")
