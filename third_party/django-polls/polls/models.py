from django.db import models
from django.urls import reverse
from django.utils import timezone


class QuestionQuerySet(models.QuerySet):
    def published(self):
        """Questions that readers may see: those whose time has come and that can be answered."""
        choices = Choice.objects.filter(question=models.OuterRef("pk"))
        return self.filter(models.Exists(choices), pub_date__lte=timezone.now())

    def with_total(self):
        return self.annotate(total=models.Sum("choices__votes", default=0))


class Question(models.Model):
    question_text = models.CharField("question", max_length=200)
    pub_date = models.DateTimeField("published on", default=timezone.now)

    objects = QuestionQuerySet.as_manager()

    class Meta:
        ordering = ["-pub_date", "-pk"]

    def __str__(self):
        return self.question_text

    def get_absolute_url(self):
        return reverse("polls:detail", args=[self.pk])


class Choice(models.Model):
    question = models.ForeignKey(Question, on_delete=models.CASCADE, related_name="choices")
    choice_text = models.CharField("choice", max_length=200)
    votes = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["pk"]

    def __str__(self):
        return self.choice_text

    def count_vote(self):
        """Adds one vote in the database, so that two voters at the same moment both count."""
        Choice.objects.filter(pk=self.pk).update(votes=models.F("votes") + 1)
