"""The Python class of electra-classifier 0.1.0, made to work with transformers 5. Import ElectraClassifier from here."""

import torch
from electra_classifier import ElectraClassifier
from transformers import PreTrainedModel


def init_weights(self):
    """transformers 5 keeps its bookkeeping in post_init, which the class does not call; post_init calls this again."""
    if "_post_init_called" in self.__dict__:
        PreTrainedModel.init_weights(self)
    else:
        self._post_init_called = True
        self.post_init()


ElectraClassifier.init_weights = init_weights


def run(model, **inputs):
    """The logits: ElectraClassifier gives just them, the stock classes an object that holds them."""
    output = model(**inputs)
    return output if isinstance(output, torch.Tensor) else output.logits
