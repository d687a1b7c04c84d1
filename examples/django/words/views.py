from django.core.cache import cache
from django.http import FileResponse, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from words.models import Text, Tick
from words.tasks import count

MOST = 1_000_000


def index(request):
    if request.method == "POST":
        uploaded = request.FILES.get("file")
        if uploaded is None or uploaded.size > MOST:
            return HttpResponse(f"a text of at most {MOST} bytes is needed", status=400)
        content = uploaded.read().decode(errors="replace")
        text = Text.objects.create(file=uploaded)
        count.delay(text.pk, content)
        return redirect("/")
    cache.add("visits", 0)
    return render(
        request,
        "index.html",
        {"texts": Text.objects.order_by("-pk")[:20], "tick": Tick.objects.first(), "visits": cache.incr("visits")},
    )


def text(request, pk):
    return FileResponse(get_object_or_404(Text, pk=pk).file, content_type="text/plain")


def healthz(request):
    return HttpResponse("ok")
