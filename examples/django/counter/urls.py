from django.urls import path

from words import views

urlpatterns = [
    path("", views.index),
    path("healthz", views.healthz),
    path("texts/<int:pk>", views.text),
]
