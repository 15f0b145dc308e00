"""ResNet and VGG with the names of their layers in torchvision; read, never imported.

https://pytorch.org/vision/stable/models.html; He and others 2015, https://arxiv.org/abs/1512.03385;
Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556
"""

import torch
from torch import nn


class Shortcut(nn.Sequential):
    def __init__(self, inputs, outputs, stride):
        super().__init__(
            nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
        )


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inputs, width, stride, shortcut, groups, base):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut
        self.stride = stride

    def forward(self, x):
        kept = x if self.downsample is None else self.downsample(x)
        found = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(found)) + kept)


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs, width, stride, shortcut, groups, base):
        super().__init__()
        inner = width * base // 64 * groups
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(
            inner, inner, 3, stride=stride, padding=1, groups=groups, bias=False
        )
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, width * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * 4)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut
        self.stride = stride

    def forward(self, x):
        kept = x if self.downsample is None else self.downsample(x)
        found = self.relu(self.bn1(self.conv1(x)))
        found = self.relu(self.bn2(self.conv2(found)))
        return self.relu(self.bn3(self.conv3(found)) + kept)


class ResNet(nn.Module):
    def __init__(self, block, depths, num_classes=1000, groups=1, base=64):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = 64
        for place, depth in enumerate(depths):
            width, layers = 64 * 2**place, []
            for number in range(depth):
                stride = 2 if place > 0 and number == 0 else 1
                outputs = width * block.expansion
                shortcut = None
                if stride != 1 or inputs != outputs:
                    shortcut = Shortcut(inputs, outputs, stride)
                layers.append(block(inputs, width, stride, shortcut, groups, base))
                inputs = outputs
            setattr(self, f"layer{place + 1}", nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(inputs, num_classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def resnet18(pretrained=False, progress=True, weights=None, num_classes=1000):
    return ResNet(BasicBlock, [2, 2, 2, 2], num_classes)


def resnet34(pretrained=False, progress=True, weights=None, num_classes=1000):
    return ResNet(BasicBlock, [3, 4, 6, 3], num_classes)


def resnet50(pretrained=False, progress=True, weights=None, num_classes=1000):
    return ResNet(Bottleneck, [3, 4, 6, 3], num_classes)


def resnet101(pretrained=False, progress=True, weights=None, num_classes=1000):
    return ResNet(Bottleneck, [3, 4, 23, 3], num_classes)


def resnet152(pretrained=False, progress=True, weights=None, num_classes=1000):
    return ResNet(Bottleneck, [3, 8, 36, 3], num_classes)


def resnext50_32x4d(pretrained=False, progress=True, weights=None, num_classes=1000):
    return ResNet(Bottleneck, [3, 4, 6, 3], num_classes, groups=32, base=4)


def resnext101_32x8d(pretrained=False, progress=True, weights=None, num_classes=1000):
    return ResNet(Bottleneck, [3, 4, 23, 3], num_classes, groups=32, base=8)


def wide_resnet50_2(pretrained=False, progress=True, weights=None, num_classes=1000):
    return ResNet(Bottleneck, [3, 4, 6, 3], num_classes, base=128)


class VGG(nn.Module):
    def __init__(self, depths, norm, num_classes=1000):
        super().__init__()
        layers, inputs = [], 3
        for depth, width in zip(depths, [64, 128, 256, 512, 512]):
            for number in range(depth):
                layers.append(nn.Conv2d(inputs, width, 3, padding=1))
                if norm:
                    layers.append(nn.BatchNorm2d(width))
                layers.append(nn.ReLU(inplace=True))
                inputs = width
            layers.append(nn.MaxPool2d(2, stride=2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def vgg11(pretrained=False, progress=True, weights=None, num_classes=1000):
    return VGG([1, 1, 2, 2, 2], False, num_classes)


def vgg11_bn(pretrained=False, progress=True, weights=None, num_classes=1000):
    return VGG([1, 1, 2, 2, 2], True, num_classes)


def vgg13(pretrained=False, progress=True, weights=None, num_classes=1000):
    return VGG([2, 2, 2, 2, 2], False, num_classes)


def vgg13_bn(pretrained=False, progress=True, weights=None, num_classes=1000):
    return VGG([2, 2, 2, 2, 2], True, num_classes)


def vgg16(pretrained=False, progress=True, weights=None, num_classes=1000):
    return VGG([2, 2, 3, 3, 3], False, num_classes)


def vgg16_bn(pretrained=False, progress=True, weights=None, num_classes=1000):
    return VGG([2, 2, 3, 3, 3], True, num_classes)


def vgg19(pretrained=False, progress=True, weights=None, num_classes=1000):
    return VGG([2, 2, 4, 4, 4], False, num_classes)


def vgg19_bn(pretrained=False, progress=True, weights=None, num_classes=1000):
    return VGG([2, 2, 4, 4, 4], True, num_classes)
