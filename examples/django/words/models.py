from django.db import models


class Text(models.Model):
    """An uploaded text. The worker fills in the last two columns."""

    file = models.FileField(upload_to="texts")
    words = models.IntegerField(null=True)
    counted_by = models.CharField(max_length=100, blank=True)


class Tick(models.Model):
    """One row, which a periodic task renews."""

    at = models.DateTimeField(auto_now=True)
    count = models.IntegerField(default=0)
