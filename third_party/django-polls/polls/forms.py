from django import forms


class VoteForm(forms.Form):
    """One choice out of those of a question."""

    choice = forms.ModelChoiceField(
        queryset=None,
        error_messages={
            "required": "Please pick an answer first.",
            "invalid_choice": "That answer does not belong to this question.",
        },
    )

    def __init__(self, question, data=None):
        super().__init__(data)
        self.fields["choice"].queryset = question.choices.all()
