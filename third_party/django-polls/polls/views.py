from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from .forms import VoteForm
from .models import Question


@require_safe
def index(request):
    # Counting groups the rows, and grouped rows forget the model's own order.
    questions = Question.objects.published().with_total().order_by("-pub_date", "-pk")
    return render(request, "polls/index.html", {"questions": questions})


@require_safe
def detail(request, question_id):
    question = get_object_or_404(Question.objects.published(), pk=question_id)
    return render(request, "polls/detail.html", {"question": question})


@require_safe
def results(request, question_id):
    question = get_object_or_404(Question.objects.published(), pk=question_id)
    choices = list(question.choices.all())
    total = sum(choice.votes for choice in choices)
    for choice in choices:
        choice.percent = round(100 * choice.votes / total) if total else 0
    return render(
        request,
        "polls/results.html",
        {"question": question, "choices": choices, "total": total},
    )


@require_POST
def vote(request, question_id):
    question = get_object_or_404(Question.objects.published(), pk=question_id)
    form = VoteForm(question, request.POST)
    if not form.is_valid():
        context = {"question": question, "errors": form.errors["choice"]}
        return render(request, "polls/detail.html", context, status=422)
    form.cleaned_data["choice"].count_vote()
    return redirect("polls:results", question_id=question.pk)
